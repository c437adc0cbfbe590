// Pulls and pushes: outside a job through the cluster, else through the job.
#include <pybind11/pybind11.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/python/bind.h"
#include "client/python/buffer.h"
#include "client/python/errors.h"
#include "client/python/handle.h"
#include "client/python/wait.h"
#include "paramo/cluster.h"
#include "paramo/job.h"

namespace py = pybind11;

namespace paramo::python {
namespace {

using Handle = std::shared_ptr<ClusterHandle>;
using JobHandle = ClusterHandle::JobHandle;

// What a call uses until it is over: the arrays' memory, and parts of them.
template <typename Part>
struct Call {
  Borrowed memory;
  std::vector<Part> parts;
};

// Parts are tuples: (table, keys, rows), or (tensor, None, values).
std::shared_ptr<Call<PullPart>> PullCall(const py::list& parts) {
  auto call = std::make_shared<Call<PullPart>>();
  for (const py::handle item : parts) {
    const auto part = py::reinterpret_borrow<py::tuple>(item);
    if (part[1].is_none()) {
      call->parts.emplace_back(part[0].cast<const Tensor&>(),
                               call->memory.WritableFloats(part[2]));
    } else {
      call->parts.emplace_back(part[0].cast<const Table&>(),
                               call->memory.Keys(part[1]),
                               call->memory.WritableFloats(part[2]));
    }
  }
  return call;
}

std::shared_ptr<Call<PushPart>> PushCall(const py::list& parts, bool initial) {
  auto call = std::make_shared<Call<PushPart>>();
  for (const py::handle item : parts) {
    const auto part = py::reinterpret_borrow<py::tuple>(item);
    if (part[1].is_none()) {
      call->parts.emplace_back(part[0].cast<const Tensor&>(),
                               call->memory.Floats(part[2]));
    } else {
      call->parts.emplace_back(part[0].cast<const Table&>(),
                               call->memory.Keys(part[1]),
                               call->memory.Floats(part[2]));
    }
    call->parts.back().initial = initial;
  }
  return call;
}

struct Options {
  uint64_t clock = 0;
  uint32_t examples = 1;
  std::chrono::milliseconds deadline{0};
  bool initial = false;        // pushes: see PushPart
  bool ends_step = false;      // pushes of a job
  uint64_t data_position = 0;  // pushes of a job
  std::string codec;
};

Options OptionsOf(const py::kwargs& in) {
  Options options;
  for (const auto& [key, value] : in) {
    const auto name = key.cast<std::string>();
    if (name == "clock") options.clock = value.cast<uint64_t>();
    if (name == "examples") options.examples = value.cast<uint32_t>();
    if (name == "initial") options.initial = value.cast<bool>();
    if (name == "ends_step") options.ends_step = value.cast<bool>();
    if (name == "data_position") options.data_position = value.cast<uint64_t>();
    if (name == "codec") options.codec = value.cast<std::string>();
    if (name == "deadline_ms") {
      options.deadline = std::chrono::milliseconds(value.cast<int64_t>());
    }
  }
  return options;
}

// ---- Who makes the call -----------------------------------------------------

Future<Status> StartPull(Cluster& cluster, std::span<const PullPart> parts,
                         const Options& options) {
  return cluster.PullAsync(parts, {.clock = options.clock,
                                   .deadline = options.deadline,
                                   .codec = options.codec});
}

Future<Status> StartPull(Job& job, std::span<const PullPart> parts,
                         const Options& options) {
  return job.PullAsync(parts, options.clock, options.deadline, options.codec);
}

Future<Result<PushAck>> StartPush(Cluster& cluster,
                                  std::span<const PushPart> parts,
                                  const Options& options) {
  return cluster.PushAsync(parts, {.clock = options.clock,
                                   .examples = options.examples,
                                   .deadline = options.deadline,
                                   .codec = options.codec});
}

Future<Result<PushAck>> StartPush(Job& job, std::span<const PushPart> parts,
                                  const Options& options) {
  return job.PushAsync(parts, {.clock = options.clock,
                               .examples = options.examples,
                               .data_position = options.data_position,
                               .deadline = options.deadline,
                               .ends_step = options.ends_step,
                               .codec = options.codec});
}

Handle ClusterOf(const Handle& cluster) { return cluster; }
Handle ClusterOf(JobHandle& job) { return job.cluster(); }

Cluster* CallerOf(const Handle&, const ClusterHandle::Use& use) {
  return &*use;
}
std::shared_ptr<Job> CallerOf(JobHandle& job, const ClusterHandle::Use&) {
  return job.job();
}

// ---- Calls ------------------------------------------------------------------

py::tuple TupleOf(const PushAck& ack) {
  return py::make_tuple(ack.lsn, ack.clock, ack.applied, ack.accumulated,
                        ack.dropped, ack.rows_skipped, ack.replicas);
}

template <typename Owner>
void Pull(Owner owner, const py::list& parts, const py::kwargs& in) {
  const Options options = OptionsOf(in);
  const auto use = ClusterOf(owner)->Open();
  const auto caller = CallerOf(owner, *use);
  const auto call = PullCall(parts);
  RaiseUnlessOk(Await<Status>(
      [&] { return StartPull(*caller, call->parts, options); }, call));
}

template <typename Owner>
py::tuple Push(Owner owner, const py::list& parts, const py::kwargs& in) {
  const Options options = OptionsOf(in);
  const auto use = ClusterOf(owner)->Open();
  const auto caller = CallerOf(owner, *use);
  const auto call = PushCall(parts, options.initial);
  return TupleOf(ValueOrRaise(Await<Result<PushAck>>(
      [&] { return StartPush(*caller, call->parts, options); }, call)));
}

// Calls done(answer, error), one of them None, when `future` is ready.
template <typename T, typename Held, typename Answer>
void Report(Future<T> future, std::shared_ptr<Held> held, py::object done,
            Answer answer) {
  // Shared, because a std::function must be copyable and a copy of a Python
  // object needs the GIL.
  auto callback = std::make_shared<py::object>(std::move(done));
  future.then([held = std::move(held), callback = std::move(callback),
               answer](const T& outcome) mutable {
    py::gil_scoped_acquire acquired;
    try {
      answer(outcome, *callback);
    } catch (py::error_already_set& error) {
      error.discard_as_unraisable("paramo: a future's callback");
    }
    held.reset();
    callback.reset();
  });
}

template <typename Owner>
void PullAsync(Owner owner, const py::list& parts, py::object done,
               const py::kwargs& in) {
  const Options options = OptionsOf(in);
  const auto use = ClusterOf(owner)->Open();
  const auto caller = CallerOf(owner, *use);
  const auto call = PullCall(parts);
  Future<Status> future;
  {
    py::gil_scoped_release released;
    future = StartPull(*caller, call->parts, options);
  }
  Report(std::move(future), call, std::move(done),
         [](const Status& status, const py::object& callback) {
           callback(py::none(), status.ok() ? py::none() : MakeError(status));
         });
}

template <typename Owner>
void PushAsync(Owner owner, const py::list& parts, py::object done,
               const py::kwargs& in) {
  const Options options = OptionsOf(in);
  const auto use = ClusterOf(owner)->Open();
  const auto caller = CallerOf(owner, *use);
  const auto call = PushCall(parts, options.initial);
  Future<Result<PushAck>> future;
  {
    py::gil_scoped_release released;
    future = StartPush(*caller, call->parts, options);
  }
  Report(std::move(future), call, std::move(done),
         [](const Result<PushAck>& ack, const py::object& callback) {
           if (ack.ok()) {
             callback(TupleOf(*ack), py::none());
           } else {
             callback(py::none(), MakeError(ack.status()));
           }
         });
}

}  // namespace

void BindCalls(py::module_& module) {
  py::class_<ClusterHandle, Handle>(module.attr("Cluster"))
      .def("pull", &Pull<const Handle&>)
      .def("push", &Push<const Handle&>)
      .def("pull_async", &PullAsync<const Handle&>)
      .def("push_async", &PushAsync<const Handle&>);
  py::class_<JobHandle, std::shared_ptr<JobHandle>>(module.attr("Job"))
      .def("pull", &Pull<JobHandle&>)
      .def("push", &Push<JobHandle&>)
      .def("pull_async", &PullAsync<JobHandle&>)
      .def("push_async", &PushAsync<JobHandle&>);
}

}  // namespace paramo::python
