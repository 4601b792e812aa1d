export { type Api, type ApiOptions, buildApi } from './build-api.ts';
export { openApiDocument } from './openapi/document.ts';
export type { Services } from './services.ts';
