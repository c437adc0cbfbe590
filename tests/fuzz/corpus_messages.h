// First inputs of the fuzz targets that read bytes rather than text.
#pragma once

#include <string>
#include <vector>

namespace paramo::fuzz {

using Seeds = std::vector<std::string>;

Seeds ClusterStates();
Seeds Conversations();  // of data_service
Seeds Files();          // of gzip
Seeds Images();         // of idx
Seeds Sections();       // of decode
Seeds ShmEnvelopes();
Seeds WireReplies();
Seeds WireRequests();

std::string Gzip(const std::string& bytes);

}  // namespace paramo::fuzz
