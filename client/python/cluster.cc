// Connecting, and the catalogue of tables.
#include "paramo/cluster.h"

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <chrono>
#include <string>
#include <utility>

#include "client/python/bind.h"
#include "client/python/errors.h"
#include "client/python/handle.h"
#include "client/python/wait.h"

namespace py = pybind11;

namespace paramo::python {
namespace {

using Milliseconds = std::chrono::milliseconds;
using Handle = std::shared_ptr<ClusterHandle>;

// Reads `spec[name]` into `out` if it is there.
template <typename T>
void Take(const py::dict& spec, const char* name, T& out) {
  if (spec.contains(name)) out = spec[name].cast<T>();
}

template <typename Enum>
void TakeEnum(const py::dict& spec, const char* name, Enum& out) {
  int number = static_cast<int>(out);
  Take(spec, name, number);
  out = static_cast<Enum>(number);
}

// The keys are the fields of TableSpec, those of its parts with an underscore.
TableSpec SpecOf(const py::dict& in) {
  TableSpec spec;
  Take(in, "name", spec.name);
  Take(in, "dim", spec.dim);
  Take(in, "shape", spec.shape);
  Take(in, "rule", spec.rule.name);
  Take(in, "rule_params", spec.rule.params);
  TakeEnum(in, "init", spec.initializer.kind);
  Take(in, "init_a", spec.initializer.a);
  Take(in, "init_fan_in", spec.initializer.fan_in);
  Take(in, "init_fan_out", spec.initializer.fan_out);
  TakeEnum(in, "non_finite", spec.non_finite.policy);
  Take(in, "non_finite_clip", spec.non_finite.clip);
  Take(in, "seed", spec.seed);
  Take(in, "clip_value", spec.clipping.value);
  Take(in, "clip_norm", spec.clipping.norm);
  TakeEnum(in, "durability", spec.durability);
  Take(in, "memory_budget", spec.memory_budget);
  Take(in, "codec", spec.codec);
  return spec;
}

py::dict DictOf(const TableInfo& info) {
  const TableSpec& spec = info.spec;
  py::dict out;
  out["id"] = info.id;
  out["version"] = info.version;
  out["name"] = spec.name;
  out["dim"] = spec.dim;
  out["shape"] = spec.shape;
  out["rule"] = spec.rule.name;
  out["rule_params"] = spec.rule.params;
  out["seed"] = spec.seed;
  out["codec"] = spec.codec;
  return out;
}

py::dict DictOf(const ClusterStats& stats) {
  py::dict out;
  out["pushes"] = stats.pushes;
  out["pulls"] = stats.pulls;
  out["requests"] = stats.requests;
  out["retries"] = stats.retries;
  out["bytes_sent"] = stats.bytes_sent;
  out["bytes_received"] = stats.bytes_received;
  out["shm_bytes"] = stats.shm_bytes;
  out["shm_full"] = stats.shm_full;
  out["parked_us"] = stats.parked.count();
  return out;
}

Handle Connect(std::string addresses, int64_t timeout_ms, int64_t deadline_ms,
               int threads) {
  ConnectOptions options;
  options.addresses = std::move(addresses);
  options.timeout = Milliseconds(timeout_ms);
  options.deadline = Milliseconds(deadline_ms);
  options.threads = threads;
  return std::make_shared<ClusterHandle>(ValueOrRaise(
      AwaitBlocking([options] { return Cluster::Connect(options); })));
}

// Calls `method` of the cluster on a thread of its own.
template <typename Method>
auto Ask(const Handle& handle, Method method) {
  return AwaitBlocking([use = handle->Open(), method = std::move(method)] {
    return method(**use);
  });
}

Table CreateTable(const Handle& handle, const py::dict& spec) {
  return ValueOrRaise(Ask(handle, [spec = SpecOf(spec)](Cluster& cluster) {
    return cluster.CreateTable(spec);
  }));
}

Tensor CreateTensor(const Handle& handle, const py::dict& spec) {
  return ValueOrRaise(Ask(handle, [spec = SpecOf(spec)](Cluster& cluster) {
    return cluster.CreateTensor(spec);
  }));
}

Table OpenTable(const Handle& handle, const std::string& name) {
  return ValueOrRaise(Ask(
      handle, [name](Cluster& cluster) { return cluster.OpenTable(name); }));
}

Tensor OpenTensor(const Handle& handle, const std::string& name) {
  return ValueOrRaise(Ask(
      handle, [name](Cluster& cluster) { return cluster.OpenTensor(name); }));
}

void DropTable(const Handle& handle, const std::string& name) {
  RaiseUnlessOk(Ask(
      handle, [name](Cluster& cluster) { return cluster.DropTable(name); }));
}

py::list ListTables(const Handle& handle) {
  py::list out;
  for (const TableInfo& info : ValueOrRaise(Ask(
           handle, [](Cluster& cluster) { return cluster.ListTables(); }))) {
    out.append(DictOf(info));
  }
  return out;
}

void Flush(const Handle& handle, int64_t deadline_ms) {
  RaiseUnlessOk(Ask(handle, [deadline_ms](Cluster& cluster) {
    return cluster.Flush(Milliseconds(deadline_ms));
  }));
}

}  // namespace

void BindCluster(py::module_& module) {
  module.def("connect", &Connect);
  py::class_<Table>(module, "Table")
      .def_property_readonly(
          "info", [](const Table& table) { return DictOf(table.info()); });
  py::class_<Tensor>(module, "Tensor")
      .def_property_readonly(
          "info", [](const Tensor& tensor) { return DictOf(tensor.info()); });
  py::class_<ClusterHandle, Handle>(module, "Cluster")
      .def("create_table", &CreateTable)
      .def("create_tensor", &CreateTensor)
      .def("open_table", &OpenTable)
      .def("open_tensor", &OpenTensor)
      .def("drop_table", &DropTable)
      .def("list_tables", &ListTables)
      .def("flush", &Flush)
      .def("close", &ClusterHandle::Close)
      .def_property_readonly("closed", &ClusterHandle::closed)
      .def_property_readonly("forked", &ClusterHandle::forked)
      .def_property_readonly(
          "id", [](const Handle& handle) { return (*handle->Open())->id(); })
      .def_property_readonly(
          "shards",
          [](const Handle& handle) { return (*handle->Open())->shard_count(); })
      .def_property_readonly("stats", [](const Handle& handle) {
        return DictOf((*handle->Open())->stats());
      });
}

}  // namespace paramo::python
