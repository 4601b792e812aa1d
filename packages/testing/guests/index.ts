export { type JournalReport, readJournals } from './guest-images.ts';
export { libvirtHostForTests, proveJournals } from './guest-tests.ts';
export { type LibvirtHost, startLibvirtHost } from './libvirt-host.ts';
export {
  type GuestDisk,
  type GuestHost,
  type GuestOptions,
  makeGuest,
  type TinyGuest,
  waitForAgent,
} from './tiny-guest.ts';
