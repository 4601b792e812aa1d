export { type BlockLocation, formatNbdUri, type NbdAddress, parseBlockLocation } from './block-location.ts';
export { detectImageFormat, type ImageFormat } from './image-format.ts';
export { type OpenedSource, openBlockSource } from './open-block-source.ts';
export { openBlockTarget } from './open-block-target.ts';
export type { NbdExportOffer } from './nbd/server/server-handshake.ts';
export { type NbdServer, type ServeOptions, serveNbd } from './nbd/server/serve-nbd.ts';
