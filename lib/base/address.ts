/** Addresses as settings have them: `host:port`, an IPv6 host in brackets. */

/** The host as it is written, brackets included, and the port. */
export function splitAddress(address: string): [host: string, port: number] {
  const at = address.lastIndexOf(':');
  return [address.slice(0, at), Number(address.slice(at + 1))];
}

/** The host as sockets take it: without the brackets of IPv6. */
export function bareHost(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1');
}
