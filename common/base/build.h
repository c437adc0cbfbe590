// What this build calls itself, for people: in --version, Hello and Stats.
#pragma once

namespace paramo {

inline constexpr char kBuild[] = "paramo 0.1.0";

}  // namespace paramo
