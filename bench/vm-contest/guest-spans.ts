/** How long a guest's writer waited while something was done with its machine, by the guest's own clock. */
import type { LibvirtHost, TinyGuest } from '@holdfast/testing/guests';

/** Of the guest's clock, in milliseconds. */
export type Span = { readonly from: number; readonly to: number };

export async function spanOf(host: LibvirtHost, guest: TinyGuest, work: () => Promise<unknown>): Promise<Span> {
  const from = await guestClockMs(host, guest);
  await work();
  return { from, to: await guestClockMs(host, guest) };
}

async function guestClockMs(host: LibvirtHost, { name }: TinyGuest): Promise<number> {
  const answer = await host.virsh('qemu-agent-command', name, '{"execute":"guest-get-time"}');
  const nanoseconds = (JSON.parse(answer) as { readonly return?: unknown }).return;
  if (typeof nanoseconds !== 'number') throw new Error(`the agent of ${name} does not tell the time: ${answer}`);
  return nanoseconds / 1e6;
}

/** Of those that end within a span. */
export function gapsIn(times: readonly number[], spans: readonly Span[]): readonly number[] {
  return times
    .slice(1)
    .map((time, index) => ({ time, gap: time - (times[index] ?? time) }))
    .filter(({ time }) => spans.some(({ from, to }) => from <= time && time <= to))
    .map(({ gap }) => gap);
}
