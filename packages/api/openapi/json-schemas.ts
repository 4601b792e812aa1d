/** JSON schemas of zod schemas, as OpenAPI 3.1 takes them: what has a name goes to the components once. */
import { z } from 'zod';

export type JsonSchema = { readonly [keyword: string]: unknown };

/** `input` is what a client may send, `output` what it gets. */
type Direction = 'input' | 'output';

const definitions = '#/$defs/';
const componentPlace = '#/components/schemas/';

export class JsonSchemas {
  readonly #components = new Map<string, JsonSchema>();

  /** In the order of names. */
  get components(): Readonly<Record<string, JsonSchema>> {
    return Object.fromEntries([...this.#components].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** The schema itself, or a reference when it has a name. */
  of(schema: z.ZodType, direction: Direction): JsonSchema {
    const {
      $schema: _dialect,
      $defs = {},
      ...rest
    } = z.toJSONSchema(schema, {
      io: direction,
      override: ({ zodSchema, jsonSchema }) => {
        delete jsonSchema.id;
        // What we answer may get more fields one day; only what we are sent is held to the letter.
        const { def } = zodSchema._zod;
        if (def.type === 'object' && def.catchall === undefined) delete jsonSchema.additionalProperties;
      },
    });
    for (const [name, definition] of Object.entries($defs)) this.#keep(name, definition);
    return rewritten(rest);
  }

  #keep(name: string, definition: JsonSchema): void {
    const component = rewritten(definition);
    const known = this.#components.get(name);
    if (known && JSON.stringify(known) !== JSON.stringify(component)) {
      throw new Error(`two schemas are called ${name}, or it differs between what is sent and what is answered`);
    }
    this.#components.set(name, component);
  }
}

/** Definitions of one schema become components of the document. */
function rewritten(schema: JsonSchema): JsonSchema {
  const text = JSON.stringify(schema, (key, value: unknown) => {
    if (key === '$ref' && typeof value === 'string') return value.replace(definitions, componentPlace);
    return key === 'id' && typeof value === 'string' ? undefined : value;
  });
  return JSON.parse(text) as JsonSchema;
}
