// Membership in jobs: steps are calls.cc's.
#include "paramo/job.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "client/python/bind.h"
#include "client/python/errors.h"
#include "client/python/handle.h"
#include "client/python/wait.h"

namespace py = pybind11;

namespace paramo::python {
namespace {

using Milliseconds = std::chrono::milliseconds;
using Handle = std::shared_ptr<ClusterHandle>;
using JobHandle = ClusterHandle::JobHandle;

JobSpec SpecOf(const py::dict& in) {
  JobSpec spec;
  spec.name = in["name"].cast<std::string>();
  spec.sync = ValueOrRaise(Sync::Parse(in["sync"].cast<std::string>()));
  spec.workers = in["workers"].cast<uint32_t>();
  spec.epochs = in["epochs"].cast<uint32_t>();
  spec.examples = in["examples"].cast<uint64_t>();
  spec.batch = in["batch"].cast<uint32_t>();
  spec.lease = Milliseconds(in["lease_ms"].cast<int64_t>());
  return spec;
}

// Creates the job, or opens an equal one, and joins it.
std::shared_ptr<JobHandle> Join(const Handle& handle, const py::dict& in) {
  auto join = [use = handle->Open(),
               spec = SpecOf(in)]() -> Result<std::unique_ptr<Job>> {
    const Result<bool> created = (*use)->CreateJob(spec);
    if (!created.ok()) return created.status();
    return Job::Join(**use, spec.name);
  };
  return std::make_shared<JobHandle>(
      handle, ValueOrRaise(AwaitBlocking(std::move(join))));
}

// Calls `method` of the job on a thread of its own.
template <typename Method>
auto Ask(JobHandle& handle, Method method) {
  return AwaitBlocking([use = handle.cluster()->Open(), job = handle.job(),
                        method = std::move(method)]() mutable {
    auto answer = method(*job);
    job.reset();  // before `use`, which keeps its cluster
    return answer;
  });
}

// Positions and leases are tuples (data shard, batches done, finished).
py::tuple LeaseData(JobHandle& handle, const py::list& held, uint32_t want) {
  std::vector<DataPosition> positions;
  for (const py::handle item : held) {
    const auto position = py::reinterpret_borrow<py::tuple>(item);
    positions.push_back({position[0].cast<uint64_t>(),
                         position[1].cast<uint32_t>(),
                         position[2].cast<bool>()});
  }
  const DataLeases leases =
      ValueOrRaise(Ask(handle, [positions, want](Job& job) {
        return job.LeaseData(positions, want);
      }));
  py::list given;
  for (const DataPosition& lease : leases.leases) {
    given.append(
        py::make_tuple(lease.data_shard, lease.batches_done, lease.finished));
  }
  return py::make_tuple(given, leases.exhausted,
                        leases.retry_after.count() / 1000.0);
}

void Barrier(JobHandle& handle, const std::string& name, int64_t deadline_ms) {
  RaiseUnlessOk(Ask(handle, [name, deadline_ms](Job& job) {
    return job.Barrier(name, Milliseconds(deadline_ms));
  }));
}

void Leave(JobHandle& handle, const std::string& error) {
  RaiseUnlessOk(Ask(handle, [error](Job& job) { return job.Leave(error); }));
}

void ReportProgress(JobHandle& handle, uint64_t clock, uint64_t examples,
                    double loss) {
  WorkerProgress progress;
  progress.clock = clock;
  progress.examples = examples;
  progress.loss = loss;
  handle.job()->Report(progress);
}

const char* PhaseName(JobPhase phase) {
  const char* const names[] = {"waiting", "running", "done", "stopped",
                               "failed"};
  return names[static_cast<int>(phase)];
}

}  // namespace

void BindJob(py::module_& module) {
  py::class_<JobHandle, std::shared_ptr<JobHandle>>(module, "Job")
      .def("lease_data", &LeaseData)
      .def("barrier", &Barrier)
      .def("leave", &Leave)
      .def("report", &ReportProgress)
      .def_property_readonly(
          "rank", [](JobHandle& handle) { return handle.job()->rank(); })
      .def_property_readonly(
          "first_clock",
          [](JobHandle& handle) { return handle.job()->first_clock(); })
      .def_property_readonly(
          "member", [](JobHandle& handle) { return handle.job()->member(); })
      .def_property_readonly("phase", [](JobHandle& handle) {
        return PhaseName(handle.job()->phase());
      });
  module.attr("Cluster").attr("join") = py::cpp_function(
      &Join, py::name("join"), py::is_method(module.attr("Cluster")));
}

}  // namespace paramo::python
