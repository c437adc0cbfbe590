// What one of several coordinators answers while another one leads.
#pragma once

namespace paramo {

// Trailing metadata of an UNAVAILABLE answer: nothing has happened, so that any
// call, also one that must not be repeated, may be sent to the next address.
inline constexpr char kNotLeadingKey[] = "paramo-not-leading";

}  // namespace paramo
