import { once } from 'node:events';
import { createServer } from 'node:net';
import { type JsigrError, unavailable } from '@jsigr/service';

/** Is the port free? Asked before anything is opened that would have to be closed again. @throws JsigrError ADDRESS_UNAVAILABLE */
export async function checkPort(host: string, port: number): Promise<void> {
  if (port === 0) return;
  const server = createServer().listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw addressUnavailable(host, port, error);
  } finally {
    server.close();
  }
}

export function addressUnavailable(host: string, port: number, error: unknown): JsigrError {
  const { code, message } = error as NodeJS.ErrnoException;
  return unavailable(
    'ADDRESS_UNAVAILABLE',
    `cannot listen on ${host}:${port}: ${code === 'EADDRINUSE' ? 'the port is in use' : message}`,
    'choose another port (0 takes any free one), or stop the program that uses it',
  );
}
