// paramo._core: the C++ client for Python.
#include <pybind11/pybind11.h>

#include "client/python/bind.h"

PYBIND11_MODULE(_core, module) {
  module.doc() = "The C++ client; use the package paramo.";
  paramo::python::BindCluster(module);
  paramo::python::BindJob(module);
  paramo::python::BindCalls(module);
  paramo::python::BindGpu(module);
}
