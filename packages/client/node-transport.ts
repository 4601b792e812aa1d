/** Requests from Node, over connections that are kept, trusting the CA that the server made for itself. */
import { Agent as HttpAgent, type IncomingMessage, request as httpRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { Transport } from './transport.ts';

export type NodeTransport = Transport & Disposable;

/** @param ca PEM; the CAs that Node knows when undefined. Disposing closes connections that are kept. */
export function nodeTransport({ ca }: { readonly ca?: string | undefined } = {}): NodeTransport {
  const http = new HttpAgent({ keepAlive: true });
  const https = new HttpsAgent({ keepAlive: true, ...(ca !== undefined && { ca }) });
  const transport: Transport = async ({ method, url, headers, body, signal }) => {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const options = { method, headers, ...(signal && { signal }) };
      const request = url.startsWith('https:')
        ? httpsRequest(url, { ...options, agent: https })
        : httpRequest(url, { ...options, agent: http });
      request.on('response', resolve).on('error', reject).end(body);
    });
    return {
      status: response.statusCode ?? 0,
      header: (name) => {
        const value = response.headers[name];
        return Array.isArray(value) ? value.join(', ') : value;
      },
      body: response,
    };
  };
  return Object.assign(transport, {
    [Symbol.dispose]: () => {
      http.destroy();
      https.destroy();
    },
  });
}
