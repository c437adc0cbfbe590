#include "worker/data/idx_dataset.h"

#include <array>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/base/status.h"
#include "worker/data/gzip_file.h"

namespace paramo {
namespace {

// Magic = 0x0000 | type of an element (8 = unsigned byte) | dimensions.
constexpr uint32_t kImagesMagic = 0x0803;
constexpr uint32_t kLabelsMagic = 0x0801;

// What each of the 256 pixel values becomes.
using PixelTable = std::array<float, 256>;

class IdxDataset final : public Dataset {
 public:
  IdxDataset(size_t features, size_t classes, const PixelTable& table,
             std::vector<uint8_t> pixels, std::vector<uint8_t> labels)
      : features_(features),
        classes_(classes),
        table_(table),
        pixels_(std::move(pixels)),
        labels_(std::move(labels)) {}

  size_t examples() const override { return labels_.size(); }
  size_t features() const override { return features_; }
  size_t classes() const override { return classes_; }

  absl::Status Read(absl::Span<const uint32_t> indices,
                    absl::Span<float> features,
                    absl::Span<int32_t> labels) const override {
    PARAMO_CHECK(features.size() == indices.size() * features_);
    PARAMO_CHECK(labels.size() == indices.size());
    float* out = features.data();
    for (size_t i = 0; i < indices.size(); ++i) {
      PARAMO_CHECK(indices[i] < labels_.size());
      const uint8_t* pixel = &pixels_[indices[i] * features_];
      for (size_t f = 0; f < features_; ++f) *out++ = table_[pixel[f]];
      labels[i] = labels_[indices[i]];
    }
    return absl::OkStatus();
  }

 private:
  const size_t features_;
  const size_t classes_;
  const PixelTable table_;
  const std::vector<uint8_t> pixels_;  // [examples, features]
  const std::vector<uint8_t> labels_;  // [examples]
};

// One IDX file as it lies: its dimensions and its bytes.
struct IdxFile {
  std::string path;
  std::vector<uint32_t> dimensions;
  std::vector<uint8_t> bytes;

  uint64_t header_bytes() const { return 4 + 4 * dimensions.size(); }
};

uint32_t BigEndian(const uint8_t* bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 |
         uint32_t{bytes[2]} << 8 | uint32_t{bytes[3]};
}

absl::StatusOr<GzipFile> OpenPlainOrGzip(const std::string& stem) {
  auto plain = GzipFile::Open(stem);
  if (plain.ok() || !absl::IsNotFound(plain.status())) return plain;
  auto gzip = GzipFile::Open(absl::StrCat(stem, ".gz"));
  if (gzip.ok() || !absl::IsNotFound(gzip.status())) return gzip;
  return absl::NotFoundError(absl::StrCat(
      stem,
      "[.gz]: no such file; install the data set (Fashion-MNIST: apt "
      "install dataset-fashion-mnist) or set data.dir"));
}

// The dimensions follow the magic number; their product is the size of the
// rest, which must be exactly there.
absl::StatusOr<IdxFile> ReadIdx(const std::string& stem, uint32_t magic) {
  PARAMO_ASSIGN_OR_RETURN(GzipFile file, OpenPlainOrGzip(stem));
  IdxFile idx;
  idx.path = file.path();
  std::vector<uint8_t> header;
  PARAMO_RETURN_IF_ERROR(file.Read(4, header));
  if (BigEndian(header.data()) != magic) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: at byte 0 stands 0x%08x where an IDX file of %s has 0x%08x; give "
        "a folder with MNIST-like files",
        idx.path, BigEndian(header.data()),
        magic == kImagesMagic ? "images" : "labels", magic));
  }
  const size_t rank = magic & 0xff;
  PARAMO_RETURN_IF_ERROR(file.Read(4 * rank, header));
  uint64_t bytes = 1;
  for (size_t d = 0; d < rank; ++d) {
    const uint32_t dimension = BigEndian(&header[4 + 4 * d]);
    if (dimension == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(idx.path, ": dimension ", d, " at byte ", 4 + 4 * d,
                       " is 0; the file holds no examples"));
    }
    idx.dimensions.push_back(dimension);
    // Below 2^64: the product is at most kDatasetBytesMax (2^31) before.
    bytes *= dimension;
    if (bytes > kDatasetBytesMax) {
      return absl::ResourceExhaustedError(absl::StrCat(
          idx.path, ": the dimensions at bytes 4 to ", idx.header_bytes(),
          " claim more than ", kDatasetBytesMax,
          " bytes, the most a worker holds in memory; use a smaller file"));
    }
  }
  PARAMO_RETURN_IF_ERROR(file.Read(bytes, idx.bytes));
  PARAMO_RETURN_IF_ERROR(file.ExpectEnd());
  return idx;
}

absl::Status CheckLabels(const IdxFile& images, const IdxFile& labels,
                         size_t classes) {
  if (images.dimensions[0] != labels.dimensions[0]) {
    return absl::InvalidArgumentError(absl::StrCat(
        labels.path, ": ", labels.dimensions[0], " labels (byte 4) for ",
        images.dimensions[0], " images in ", images.path,
        "; take both files from the same data set"));
  }
  for (size_t i = 0; i < labels.bytes.size(); ++i) {
    if (labels.bytes[i] < classes) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        labels.path, ": label ", int{labels.bytes[i]}, " at byte ",
        labels.header_bytes() + i, " is not below the ", classes,
        " classes of the model; make the last of model.layers larger"));
  }
  return absl::OkStatus();
}

// (pixel - mean) / deviation over `pixels`, from exact integer sums: at most
// 2^31 pixels of at most 2^16 squared stay below 2^64.
PixelTable Standardise(const std::vector<uint8_t>& pixels) {
  uint64_t sum = 0;
  uint64_t squares = 0;
  for (uint8_t pixel : pixels) {
    sum += pixel;
    squares += uint64_t{pixel} * pixel;
  }
  const auto count = static_cast<double>(pixels.size());
  const double mean = static_cast<double>(sum) / count;
  const double variance = static_cast<double>(squares) / count - mean * mean;
  // Images of one colour stay as they are.
  const double deviation = variance > 0 ? std::sqrt(variance) : 1;
  PixelTable table;
  for (size_t value = 0; value < table.size(); ++value) {
    table[value] =
        static_cast<float>((static_cast<double>(value) - mean) / deviation);
  }
  return table;
}

// The two files of one set.
struct IdxPair {
  IdxFile images;
  IdxFile labels;

  size_t features() const {
    return size_t{images.dimensions[1]} * size_t{images.dimensions[2]};
  }
};

absl::StatusOr<IdxPair> ReadPair(const std::string& stem, size_t classes) {
  IdxPair pair;
  PARAMO_ASSIGN_OR_RETURN(pair.images,
                          ReadIdx(stem + "-images-idx3-ubyte", kImagesMagic));
  PARAMO_ASSIGN_OR_RETURN(pair.labels,
                          ReadIdx(stem + "-labels-idx1-ubyte", kLabelsMagic));
  PARAMO_RETURN_IF_ERROR(CheckLabels(pair.images, pair.labels, classes));
  return pair;
}

}  // namespace

absl::StatusOr<IdxData> OpenIdxData(const std::string& directory,
                                    size_t classes) {
  PARAMO_ASSIGN_OR_RETURN(IdxPair train,
                          ReadPair(directory + "/train", classes));
  PARAMO_ASSIGN_OR_RETURN(IdxPair test, ReadPair(directory + "/t10k", classes));
  if (test.features() != train.features()) {
    return absl::InvalidArgumentError(
        absl::StrCat(test.images.path, ": images of ", test.features(),
                     " pixels (byte 8), while ", train.images.path, " has ",
                     train.features(), "; take both from the same data set"));
  }
  const PixelTable table = Standardise(train.images.bytes);
  auto open = [&](IdxPair& pair) {
    return std::make_unique<IdxDataset>(pair.features(), classes, table,
                                        std::move(pair.images.bytes),
                                        std::move(pair.labels.bytes));
  };
  return IdxData{open(train), open(test)};
}

}  // namespace paramo
