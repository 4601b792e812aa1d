export {
  type CallOptions,
  type CallParts,
  type CallResult,
  type ClientOptions,
  HoldfastClient,
} from './holdfast-client.ts';
export { parseServerSentEvents, type ServerSentEvent } from './server-sent-events.ts';
export { fetchTransport, type Transport, type TransportRequest, type TransportResponse } from './transport.ts';
