// The plug of torchrec's dynamic embeddings: what it passes to the four
// functions of a parameter server's shared library. The layout is torchrec's
// (BSD licence, contrib/dynamic_embedding).
//
//   torch.ops.tde.register_io(paramo.torchrec_library())
//   tde.wrap("paramo://127.0.0.1:7700", dataloader, model, configs)
//
// torchrec keeps the rows in use on its devices and trains them there; what it
// evicts it pushes as values, with the optimizer's states, and pulls again
// later.
//
// They are functions of the Python module, not of a library of their own: two
// copies of the client's messages in one process make protobuf abort.
#pragma once

#include <cstdint>

extern "C" {

struct IOPullParameter {
  const char* table_name;
  uint32_t num_cols;
  uint32_t num_global_ids;
  const int64_t* col_ids;  // [num_cols]; none: the table is not cut by columns
  const int64_t* global_ids;
  uint32_t num_optimizer_states;
  void* on_complete_context;
  // For each row that is there. `offset` = position of the id x num_cols +
  // position of the column.
  void (*on_global_id_fetched)(void* context, uint32_t offset,
                               uint32_t optimizer_state, void* data,
                               uint32_t data_bytes);
  void (*on_all_fetched)(void* context);
};

struct IOPushParameter {
  const char* table_name;
  uint32_t num_cols;
  uint32_t num_global_ids;
  const int64_t* col_ids;
  const int64_t* global_ids;
  uint32_t num_optimizer_states;
  const uint32_t* optimizer_state_ids;  // [num_optimizer_states]
  // Bytes of `data`, by id, then column, then state; one more than there are.
  uint32_t num_offsets;
  const uint64_t* offsets;
  const void* data;
  void* on_complete_context;
  void (*on_push_complete)(void* context);
};

extern const char* IO_type;

// `cfg`: host:port of the cluster. Null, with the reason on stderr, when it
// cannot be reached.
void* IO_Initialize(const char* cfg);
void IO_Finalize(void* instance);

// Both answer before they return. The interface has no way to say that a call
// failed: the reason goes to stderr, and rows that could not be fetched are
// left out.
void IO_Pull(void* instance, IOPullParameter cfg);
void IO_Push(void* instance, IOPushParameter cfg);
}
