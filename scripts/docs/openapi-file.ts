/** docs/openapi.json, made from the contracts. */
import { openApiDocument } from '../../packages/api/openapi/document.ts';

export const openApiPath = 'docs/openapi.json';

export function renderOpenApi(): string {
  return `${JSON.stringify(openApiDocument(), null, 2)}\n`;
}
