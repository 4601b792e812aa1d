/** What files of tests with guests begin with, and what they end in: a host of their own, and the proof by journals. */
import assert from 'node:assert/strict';
import { after } from 'node:test';
import { type JournalReport, readJournals } from './guest-images.ts';
import { type LibvirtHost, startLibvirtHost } from './libvirt-host.ts';

/** For all the tests of a file, and gone after them. */
export async function libvirtHostForTests(options: { readonly remote?: boolean } = {}): Promise<LibvirtHost> {
  const host = await startLibvirtHost(options);
  after(() => host[Symbol.asyncDispose]());
  return host;
}

/** No record is torn or missing, from the first on, and the disks agree on the moment. @throws AssertionError */
export async function proveJournals(
  files: readonly string[],
): Promise<readonly [JournalReport, ...(readonly JournalReport[])]> {
  const [first, ...others] = await readJournals(files);
  assert.ok(first, 'no disk, no proof');
  const reports = [first, ...others] as const;
  let before = first;
  for (const report of reports) {
    const { bad, gaps, first: number } = report;
    assert.deepEqual({ bad, gaps, number }, { bad: 0, gaps: 0, number: 1 }, JSON.stringify(reports));
    assert.ok([before.last, before.last - 1].includes(report.last), JSON.stringify(reports));
    before = report;
  }
  return reports;
}
