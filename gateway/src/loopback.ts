import { isIP } from 'node:net';
import { invalidArgument } from '@jsigr/service';

/** Does the name or address always mean this machine? */
export function isLoopback(host: string): boolean {
  if (isIP(host) === 4) return host.startsWith('127.');
  return host === '::1' || host === 'localhost';
}

/** @throws JsigrError INVALID_ARGUMENT for an address that others can reach. */
export function checkHost(host: string): void {
  if (!isLoopback(host))
    throw invalidArgument(
      'host',
      `${JSON.stringify(host)} can be reached from other machines; this version has no sign-in yet and listens on 127.0.0.1, ::1 or localhost only`,
    );
}
