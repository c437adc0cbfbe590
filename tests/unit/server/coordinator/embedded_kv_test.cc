// The embedded store: the conformance suite, and its own oddities.
#include "server/coordinator/embedded_kv.h"

#include <fstream>

#include "tests/unit/server/coordinator/kv_store_conformance.h"

namespace paramo {
namespace {

class EmbeddedFixture final : public KvStoreFixture {
 public:
  explicit EmbeddedFixture(size_t history_events = 4096)
      : history_events_(history_events) {
    Open();
  }
  KvStore& store() override { return *store_; }
  void Reopen() override {
    store_.reset();
    Open();
  }
  void Pass(absl::Duration time) override { clock_.Advance(time); }
  bool Await(const std::function<bool()>& condition) override {
    return condition();
  }

  EmbeddedKvOptions options() const {
    EmbeddedKvOptions options;
    options.path = dir_.path() + "/store";
    options.clock = &clock_;
    options.history_events = history_events_;
    return options;
  }
  void Close() { store_.reset(); }

 private:
  void Open() {
    auto store = OpenEmbeddedKv(options());
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = std::move(*store);
  }

  TempDir dir_;
  FakeClock clock_;
  const size_t history_events_;
  std::unique_ptr<KvStore> store_;
};

INSTANTIATE_TEST_SUITE_P(Embedded, KvStoreConformance, testing::Values([] {
                           return std::make_unique<EmbeddedFixture>();
                         }));

TEST(EmbeddedKv, RefusesASecondOpener) {
  EmbeddedFixture fixture;
  EXPECT_CODE(kFailedPrecondition, OpenEmbeddedKv(fixture.options()));
}

TEST(EmbeddedKv, AReaderThatFellBehindIsToldToRangeAgain) {
  EmbeddedFixture fixture(/*history_events=*/4);
  auto put = [&](const std::string& key) {
    KvTxn txn;
    txn.puts.push_back({key, "", 0});
    return fixture.store().Txn(txn)->revision;
  };
  int64_t first = put("a");
  auto watch = fixture.store().Watch("", first);
  ASSERT_TRUE(watch.ok());
  for (int i = 0; i < 5; ++i) put("b");
  EXPECT_CODE(kOutOfRange, (*watch)->Next(absl::ZeroDuration()));
  EXPECT_CODE(kOutOfRange, fixture.store().Watch("", first));
}

TEST(EmbeddedKv, RefusesAStoreWithABitFlipped) {
  EmbeddedFixture fixture;
  KvTxn txn;
  txn.puts.push_back({"key-to-damage", std::string(1000, 'v'), 0});
  ASSERT_TRUE(fixture.store().Txn(txn).ok());
  txn.puts[0].key = "later";
  ASSERT_TRUE(fixture.store().Txn(txn).ok());
  fixture.Close();
  // The record is in the write-ahead log, followed by another one, so it is no
  // torn tail.
  bool flipped = false;
  for (const auto& file :
       std::filesystem::directory_iterator(fixture.options().path)) {
    if (file.path().extension() != ".log") continue;
    std::fstream log(file.path(), std::ios::in | std::ios::out);
    std::string bytes((std::istreambuf_iterator<char>(log)), {});
    size_t at = bytes.find("key-to-damage");
    if (at == std::string::npos) continue;
    log.seekp(static_cast<std::streamoff>(at + 100));
    log.put('w');
    flipped = true;
  }
  ASSERT_TRUE(flipped);
  EXPECT_CODE(kDataLoss, OpenEmbeddedKv(fixture.options()));
}

}  // namespace
}  // namespace paramo
