"""One address, one or several processes: sockets, slots, connections, and how it all ends."""
