#include "client/python/errors.h"

namespace py = pybind11;

namespace paramo::python {

py::object MakeError(const Status& status) {
  const ErrorDetails& details = status.details();
  py::dict fields;
  fields["code"] = CodeName(status.code());
  fields["message"] = details.message;
  fields["action"] = details.action;
  fields["table"] = details.table;
  if (details.shard >= 0) fields["shard"] = details.shard;
  fields["endpoint"] = details.endpoint;
  fields["attempts"] = details.attempts;
  fields["elapsed"] = details.elapsed.count() / 1000.0;
  if (details.applied.has_value()) {
    const char* const names[] = {"no", "yes", "partly", "unknown"};
    fields["applied"] = names[static_cast<int>(*details.applied)];
  }
  fields["sections"] = details.sections;
  fields["sections_taken"] = details.sections_taken;
  fields["hint"] = details.hint;
  fields["reason"] = details.reason;
  return py::module_::import("paramo.errors").attr("_of_core")(**fields);
}

void Raise(const Status& status) {
  const py::object error = MakeError(status);
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())),
                  error.ptr());
  throw py::error_already_set();
}

}  // namespace paramo::python
