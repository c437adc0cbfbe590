// Sockets that listen, as the acceptor wants them.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/descriptor.h"
#include "common/transport/address.h"

namespace paramo {

// What an accepted connection inherits from the socket that listened for it.
struct SocketOptions {
  // How long sent bytes may stay unacknowledged before the kernel gives the
  // connection up. It notices what a keepalive ping behind them cannot.
  absl::Duration user_timeout = absl::Seconds(20);
  // A congestion control that the kernel has ("bbr"); empty: its default.
  std::string congestion;
};

struct Listening {
  // One for each address that the host's name stands for, all of one port.
  std::vector<Descriptor> sockets;
  int port = 0;
};

// Listens on exactly what is named: 0.0.0.0 is every IPv4 address, [::] every
// address of both kinds. Port 0 takes a free one. The sockets do not block.
// Errors: UNAVAILABLE       the name is not known, or the port is taken, with
//                           what the kernel says
//         INVALID_ARGUMENT  the kernel has no such congestion control
absl::StatusOr<Listening> Listen(const Address& address,
                                 const SocketOptions& options);

}  // namespace paramo
