// Between gRPC's byte buffers and ours, without copying the bytes.
#pragma once

#include "common/mem/buffer.h"
#include "common/mem/rope.h"

namespace grpc {
class ByteBuffer;
}

namespace paramo {

// Takes the bytes of `buffer`, which is left empty.
//
// pinned_bytes of the result: every distinct block that its pieces lie in
// counts as kReadBlockBytes, or as the bytes of it that the message holds when
// those are more. gRPC shares a block among the messages that arrived in it
// and frees it with the last of them, so one queued 64-byte push holds back
// 64 KiB. Messages that share a block count it each: an upper bound, which
// errs on the side of refusing early.
Rope ToRope(grpc::ByteBuffer& buffer);

// Hands the blocks of `message` to gRPC, which frees them when sent.
grpc::ByteBuffer ToByteBuffer(Message message);

}  // namespace paramo
