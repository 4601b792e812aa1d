/** Exclusion among the processes of this host that ends with its holder, also by kill -9. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { systemErrorCode } from '@holdfast/base';

/** Of whoever changes a machine or works with its disks: backup, restore in place. */
export function machineLock(uuid: string): string {
  return `machine ${uuid}`;
}

/** Undefined when somebody else holds it. An abstract socket is a lock that the kernel lets go. */
export async function holdExclusively(name: string): Promise<AsyncDisposable | undefined> {
  const server = createServer();
  server.listen(`\0holdfast-${createHash('sha256').update(name).digest('hex')}`);
  try {
    await once(server, 'listening');
  } catch (error) {
    if (systemErrorCode(error) === 'EADDRINUSE') return undefined;
    throw error;
  }
  server.unref();
  return {
    [Symbol.asyncDispose]: async () => {
      server.close();
      await once(server, 'close');
    },
  };
}
