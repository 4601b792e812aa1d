/** The text of an event stream as events (WHATWG HTML, 9.2.6). */
export type ServerSentEvent = { readonly id: string | undefined; readonly type: string; readonly data: string };

export async function* parseServerSentEvents(
  body: AsyncIterable<Uint8Array>,
): AsyncGenerator<ServerSentEvent, void, void> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const part of body) {
    rest += decoder.decode(part, { stream: true });
    // Our server ends lines with \n alone.
    const frames = rest.split('\n\n');
    rest = frames.pop() ?? '';
    for (const frame of frames) {
      const event = parseFrame(frame);
      if (event) yield event;
    }
  }
}

/** Undefined for one of comments alone. */
function parseFrame(frame: string): ServerSentEvent | undefined {
  const fields = new Map<string, string>();
  for (const line of frame.split('\n')) {
    const [, name, value] = /^([^:]+)(?:: ?(.*))?$/.exec(line) ?? [];
    if (name === undefined) continue;
    const before = name === 'data' ? fields.get(name) : undefined;
    fields.set(name, before === undefined ? (value ?? '') : `${before}\n${value ?? ''}`);
  }
  const data = fields.get('data');
  return data === undefined ? undefined : { id: fields.get('id'), type: fields.get('event') ?? 'message', data };
}
