export { type BlockLocation, formatNbdUri, type NbdAddress, parseBlockLocation } from './block-location.ts';
export { detectImageFormat, type ImageFormat } from './image-format.ts';
export { type OpenedSource, openBlockSource } from './open-block-source.ts';
