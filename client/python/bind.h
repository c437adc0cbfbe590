// What each file of the module adds to it. No logic lives in this layer: it
// passes memory and errors from one language to the other (the package around
// it, paramo/*.py, is what users see).
#pragma once

#include <pybind11/pybind11.h>

namespace paramo::python {

void BindCluster(pybind11::module_& module);  // connect, catalogue
void BindCalls(pybind11::module_& module);    // pull, push
void BindJob(pybind11::module_& module);
void BindGpu(pybind11::module_& module);  // arrays of a GPU, pinned memory

}  // namespace paramo::python
