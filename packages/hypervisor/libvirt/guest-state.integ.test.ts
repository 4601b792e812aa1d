import assert from 'node:assert/strict';
import { readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { hasCode } from '@holdfast/base';
import { libvirtHostForTests } from '@holdfast/testing/guests';
import type { Domain } from './domain.ts';
import { describeDomain } from './domain-xml/domain-description.ts';
import { editDomain } from './domain-xml/edit-domain.ts';
import { captureGuestState, type GuestStateFile, placeGuestState } from './guest-state.ts';
import { Libvirt } from './libvirt.ts';

/** Real firmware and a real TPM: libvirt makes their state at the first start. */
const xml = `<domain type='qemu'>
  <name>sealed</name><memory unit='MiB'>128</memory><vcpu>1</vcpu>
  <os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>
    <memballoon model='none'/>
  </devices>
</domain>`;

const host = await libvirtHostForTests();
const libvirt = new Libvirt({ uri: host.uri });
const original = await libvirt.define({ xml });

async function descriptionOf(domain: Domain) {
  return describeDomain(await domain.xml({ which: 'stored' }));
}

async function capture(domain: Domain, limitBytes?: number): Promise<readonly GuestStateFile[]> {
  const limit = limitBytes === undefined ? {} : { limitBytes };
  return await captureGuestState({
    domain: await descriptionOf(domain),
    stateDirectory: host.stateDirectory,
    ...limit,
  });
}

test('a machine that has never been started has no state; then its UEFI variables and TPM are captured', async () => {
  assert.deepEqual(await capture(original), []);
  await original.start({ paused: true });
  await original.destroy();
  const files = await capture(original);
  assert.deepEqual(
    files.map(({ name }) => name),
    ['nvram', 'tpm/tpm2/tpm2-00.permall'],
  );
  assert.equal(files[0]?.bytes.subarray(40, 44).toString(), '_FVH');
  assert.ok((files[1]?.bytes.length ?? 0) > 1000);
  const together = files.reduce((sum, { bytes }) => sum + bytes.length, 0);
  await assert.rejects(capture(original, together - 1), (error) => hasCode(error, 'vm_state_too_large'));
  assert.equal((await capture(original, together)).length, 2);
});

test('another machine starts with the captured state as its own', async () => {
  const files = (await capture(original)).map((file) =>
    // A variable store that nobody else has.
    file.name === 'nvram' ? { ...file, bytes: Buffer.concat([file.bytes.subarray(0, -4), Buffer.from('MARK')]) } : file,
  );
  const stored = await original.xml({ which: 'stored' });
  const uuid = '44444444-2222-4333-8444-555555555555';
  const copy = await libvirt.define({ xml: editDomain(stored, { name: 'copy', uuid }) });
  const domain = await descriptionOf(copy);
  const place = (these: readonly GuestStateFile[]) =>
    placeGuestState({ domain, files: these, stateDirectory: host.stateDirectory });
  await place(files);
  await copy.start({ paused: true });
  const started = await capture(copy);
  assert.deepEqual(started, files);
  await copy.destroy();

  await assert.rejects(place(files), (error) => hasCode(error, 'target_exists'));
  for (const name of ['tpm/../../../evil', 'tpm', 'tpm/', 'tpm//x', 'tpm/.lock', '/etc/passwd', 'nvram/x', '']) {
    await assert.rejects(
      place([{ name, bytes: Buffer.from('x') }]),
      (error) => hasCode(error, 'incompatible_target'),
      name,
    );
  }
  await copy.undefine();
  assert.deepEqual(await readdir(join(host.stateDirectory, 'qemu/nvram')), ['sealed_VARS.fd']);
  assert.deepEqual(await readdir(join(host.stateDirectory, 'swtpm')), [original.uuid]);
});

test('state that is no longer there is not invented', async () => {
  await rm(join(host.stateDirectory, 'swtpm'), { recursive: true });
  await writeFile(join(host.directory, 'named.fd'), 'variables');
  const domain = { ...(await descriptionOf(original)), nvramPath: join(host.directory, 'named.fd') };
  const files = await captureGuestState({ domain, stateDirectory: host.stateDirectory });
  assert.deepEqual(
    files.map(({ name, bytes }) => [name, bytes.toString()]),
    [['nvram', 'variables']],
  );
});
