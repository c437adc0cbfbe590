// First inputs of shm_envelope: an envelope, what lies in the lane, and three
// choices: 0 a request's envelope, 1 a reply's, 2 as many bytes as the second
// says; +4 in the stream's own lane; +8 sealed, +16 so and of another id. Then
// the size of the answer, or of a client's request; then pieces.
#include "common/wire/envelope.h"
#include "tests/fuzz/corpus_messages.h"

namespace paramo::fuzz {
namespace {

std::string Input(const Message& envelope, const std::string& content,
                  uint8_t flags, uint8_t size) {
  std::string input(reinterpret_cast<const char*>(envelope[0].data()),
                    envelope[0].size());
  input += content;
  for (const uint8_t choice : {flags, size, uint8_t{0xff}})
    input.push_back(static_cast<char>(choice));
  return input;
}

}  // namespace

Seeds ShmEnvelopes() {
  constexpr uint32_t kEnd = 16384;
  constexpr uint32_t kMax = UINT32_MAX;
  const std::string content = "what lies there, and is no message";
  // Of offset, bytes, and the same of the reply.
  const uint32_t places[][4] = {{64, 100, 192, 300},   {0, 40, 20, 40},
                                {kEnd - 30, 30, 0, 0}, {0, 14, kEnd - 9, 9},
                                {64, 0, 0, kEnd},      {kEnd - 29, 30, 0, 0},
                                {0, 30, kMax, kMax},   {kMax, kMax, 0, 0}};
  Seeds seeds;
  uint8_t size = 0;
  for (const auto& at : places) {
    const wire::ShmRequest request = {7, 1, at[0], at[1], at[2], at[3]};
    const Message envelope = wire::WriteShmRequest(request);
    seeds.push_back(Input(envelope, content, 4 + 8, size++));
    seeds.push_back(Input(envelope, content, 4 + 16, 9));
    seeds.push_back(Input(envelope, content, 4, 200));
  }
  const Message stranger = wire::WriteShmRequest({7, 1, 0, 30, 64, 30});
  seeds.push_back(Input(stranger, content, 8, 10));
  for (const uint32_t bytes : {14u, 30u, 80u, 81u, 4u, 0u, kMax}) {
    const Message envelope = wire::WriteShmReply({9, bytes});
    seeds.push_back(Input(envelope, content, 1 + 8, 10));
    seeds.push_back(Input(envelope, content, 1 + 16, 10));
    seeds.push_back(Input(envelope, content, 1, 10));
  }
  seeds.push_back(Input(stranger, content, 2 + 8, 37));
  return seeds;
}

}  // namespace paramo::fuzz
