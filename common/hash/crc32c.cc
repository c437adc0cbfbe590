// The crc32 instruction takes 3 cycles but one can start every cycle, so long
// inputs run as three interleaved streams over adjacent runs of equal length.
// A CRC is linear: the CRC of A followed by B is crc(A) advanced over |B| zero
// bytes, xor crc(B) started from zero. Advancing over a fixed length is a
// linear map of 32 bits, kept as four tables of 256 words.
#include "common/hash/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#define PARAMO_CRC_TARGET
#elif defined(__aarch64__)
#include <arm_acle.h>
#define PARAMO_CRC_TARGET __attribute__((target("+crc")))
#else
#error "Paramo runs on x86-64 and arm64; add the CRC-32C of this processor."
#endif

namespace paramo {
namespace {

#if defined(__x86_64__)
inline uint64_t Step8(uint64_t crc, uint64_t data) {
  return _mm_crc32_u64(crc, data);
}
inline uint64_t Step1(uint64_t crc, uint8_t data) {
  return _mm_crc32_u8(static_cast<uint32_t>(crc), data);
}
#else
PARAMO_CRC_TARGET inline uint64_t Step8(uint64_t crc, uint64_t data) {
  return __crc32cd(static_cast<uint32_t>(crc), data);
}
PARAMO_CRC_TARGET inline uint64_t Step1(uint64_t crc, uint8_t data) {
  return __crc32cb(static_cast<uint32_t>(crc), data);
}
#endif

inline uint64_t Load8(const uint8_t* p) {
  uint64_t value;
  std::memcpy(&value, p, sizeof(value));
  return value;
}

// ---- Advancing over zeros ---------------------------------------------------

// The polynomial with its bits reversed, as CRCs are kept: bit 31 is x^0.
constexpr uint32_t kPolynomial = 0x82f63b78u;

// a * b modulo the polynomial.
constexpr uint32_t MultiplyMod(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (int i = 0; i < 32; ++i) {
    if (a & (0x80000000u >> i)) product ^= b;
    b = (b & 1) ? (b >> 1) ^ kPolynomial : b >> 1;
  }
  return product;
}

// x^(8 * bytes) modulo the polynomial, by repeated squaring.
constexpr uint32_t PowerOfX(uint64_t bytes) {
  uint32_t result = 0x80000000u;       // x^0
  uint32_t square = 0x80000000u >> 8;  // x^8
  for (; bytes != 0; bytes >>= 1) {
    if (bytes & 1) result = MultiplyMod(result, square);
    square = MultiplyMod(square, square);
  }
  return result;
}

using ZerosTable = std::array<std::array<uint32_t, 256>, 4>;

constexpr ZerosTable MakeZerosTable(uint64_t bytes) {
  ZerosTable table{};
  const uint32_t power = PowerOfX(bytes);
  for (int byte = 0; byte < 4; ++byte) {
    for (int bit = 0; bit < 8; ++bit) {
      const uint32_t image = MultiplyMod(1u << (8 * byte + bit), power);
      for (int low = 0; low < (1 << bit); ++low) {
        table[byte][(1 << bit) + low] = table[byte][low] ^ image;
      }
    }
  }
  return table;
}

inline uint64_t Advance(const ZerosTable& table, uint64_t crc) {
  return table[0][crc & 0xff] ^ table[1][(crc >> 8) & 0xff] ^
         table[2][(crc >> 16) & 0xff] ^ table[3][(crc >> 24) & 0xff];
}

// ---- Three streams ----------------------------------------------------------

// Consumes blocks of 3 x kRun bytes while there are any.
template <size_t kRun>
PARAMO_CRC_TARGET uint64_t Interleaved(const uint8_t*& p, size_t& size,
                                       uint64_t crc) {
  static constexpr ZerosTable kZeros = MakeZerosTable(kRun);
  while (size >= 3 * kRun) {
    uint64_t crc1 = 0;
    uint64_t crc2 = 0;
    for (size_t i = 0; i < kRun; i += 8) {
      crc = Step8(crc, Load8(p + i));
      crc1 = Step8(crc1, Load8(p + kRun + i));
      crc2 = Step8(crc2, Load8(p + 2 * kRun + i));
    }
    crc = Advance(kZeros, crc) ^ crc1;
    crc = Advance(kZeros, crc) ^ crc2;
    p += 3 * kRun;
    size -= 3 * kRun;
  }
  return crc;
}

}  // namespace

PARAMO_CRC_TARGET uint32_t Crc32c(const void* data, size_t size,
                                  uint32_t init) {
  const uint8_t* p = static_cast<const uint8_t*>(data);
  uint64_t crc = ~init;
  // Long runs amortise the two combinations (about 15 cycles each); the short
  // ones then leave less than 768 bytes for the plain loop.
  crc = Interleaved<4096>(p, size, crc & 0xffffffffu);
  crc = Interleaved<256>(p, size, crc);
  for (; size >= 8; p += 8, size -= 8) crc = Step8(crc, Load8(p));
  for (; size > 0; ++p, --size) crc = Step1(crc, *p);
  return ~static_cast<uint32_t>(crc);
}

}  // namespace paramo
