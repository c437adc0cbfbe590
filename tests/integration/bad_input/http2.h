// The few bytes of HTTP/2 that a broken gRPC client needs.
#pragma once

#include <cstdint>
#include <string>

namespace paramo::test {

inline constexpr uint8_t kDataFrame = 0, kHeadersFrame = 1, kSettingsFrame = 4;
inline constexpr uint8_t kEndStreamFlag = 1, kEndHeadersFlag = 4;
inline constexpr uint8_t kAckFlag = 1;  // of a SETTINGS frame

inline const std::string kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Length 24 bits, type 8, flags 8, stream 32, body.
inline std::string Http2Frame(uint8_t type, uint8_t flags, uint32_t stream,
                              const std::string& body) {
  std::string frame;
  for (const int shift : {16, 8, 0}) {
    frame += static_cast<char>(body.size() >> shift);
  }
  frame += static_cast<char>(type);
  frame += static_cast<char>(flags);
  for (const int shift : {24, 16, 8, 0}) {
    frame += static_cast<char>(stream >> shift);
  }
  return frame + body;
}

// HPACK: literal without indexing, new name, no Huffman.
inline std::string Http2Header(const std::string& name,
                               const std::string& value) {
  return std::string(1, '\0') + static_cast<char>(name.size()) + name +
         static_cast<char>(value.size()) + value;
}

// A message behind gRPC's prefix: not compressed, length 32 bits.
inline std::string GrpcMessage(const std::string& message) {
  std::string framed(1, '\0');
  for (const int shift : {24, 16, 8, 0}) {
    framed += static_cast<char>(message.size() >> shift);
  }
  return framed + message;
}

// The HEADERS frame of a call.
inline std::string Http2Headers(const std::string& path, uint32_t stream,
                                const std::string& more_headers) {
  return Http2Frame(
      kHeadersFrame, kEndHeadersFlag, stream,
      Http2Header(":method", "POST") + Http2Header(":scheme", "http") +
          Http2Header(":path", path) + Http2Header(":authority", "x") +
          Http2Header("content-type", "application/grpc") +
          Http2Header("te", "trailers") + more_headers);
}

// The start of a connection, with one open call on stream 1.
inline std::string Http2Call(const std::string& path,
                             const std::string& more_headers = "") {
  return kHttp2Preface + Http2Frame(kSettingsFrame, 0, 0, "") +
         Http2Headers(path, 1, more_headers);
}

}  // namespace paramo::test
