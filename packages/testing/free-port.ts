/** For servers of tests that cannot be told to choose a port themselves. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';

/** Of the loopback; nobody listened there a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
