export { type JournalReport, readJournals } from './guest-images.ts';
export { type LibvirtHost, startLibvirtHost } from './libvirt-host.ts';
export type { GuestDisk, GuestOptions, TinyGuest } from './tiny-guest.ts';
