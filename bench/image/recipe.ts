/**
 * What the bench image is made of. Everything that decides its content is in here, because the cache key is the hash
 * of this object: change a line and the next run builds a new image.
 *
 * The mix is that of a server: databases, web servers, interpreters, compilers, container engines, a kernel with its
 * modules, headers, sources and documentation; executables and text, little that is compressed already. Packages are
 * named without versions, since mirrors keep only the newest; the versions used are recorded in the image's record and
 * in the output of `bench/peers`.
 */
import { KiB, MiB } from '@holdfast/base';

export type RegionKind = 'files' | 'random' | 'duplicate' | 'hole';

export type RecipeRegion = { readonly kind: RegionKind; readonly sizeBytes: number };

export type Recipe = {
  /** Raised when the code that follows the recipe changes what it makes. */
  readonly version: number;
  readonly seed: string;
  readonly blockBytes: number;
  /** 1.6 GiB in whole blocks (419 430); the last file of each file system is cut so that it fits exactly. */
  readonly fileBytes: number;
  /** The image is `groups` times this sequence; each `files` region is one ext4 file system. */
  readonly group: readonly RecipeRegion[];
  readonly groups: number;
  /** Metapackages that stand for the one package they depend on (the kernel's name has its version in it). */
  readonly metapackages: readonly string[];
  readonly packages: readonly string[];
  readonly changes: {
    readonly granuleBytes: number;
    /** 983 granules of 64 KiB = 1 % of 6 GiB. */
    readonly granules: number;
    readonly runGranules: number;
    /** Share of the writes that begin where there is data; the rest begin in holes. */
    readonly shareInData: number;
  };
};

export const recipe: Recipe = {
  version: 1,
  seed: 'holdfast bench 1',
  blockBytes: 4 * KiB,
  fileBytes: Math.floor((1.6 * 1024 * MiB) / (4 * KiB)) * 4 * KiB,
  group: [
    { kind: 'files', sizeBytes: 768 * MiB },
    { kind: 'random', sizeBytes: 64 * MiB },
    { kind: 'hole', sizeBytes: 160 * MiB },
    { kind: 'duplicate', sizeBytes: 32 * MiB },
    { kind: 'hole', sizeBytes: 64 * MiB },
    { kind: 'duplicate', sizeBytes: 32 * MiB },
    { kind: 'random', sizeBytes: 64 * MiB },
    { kind: 'hole', sizeBytes: 224 * MiB },
    { kind: 'duplicate', sizeBytes: 32 * MiB },
    { kind: 'duplicate', sizeBytes: 32 * MiB },
    { kind: 'hole', sizeBytes: 64 * MiB },
  ],
  groups: 4,
  metapackages: ['linux-image-cloud-amd64'],
  packages: [
    'libc6',
    'bash',
    'coreutils',
    'perl-base',
    'perl-modules-5.36',
    'systemd',
    'udev',
    'openssh-server',
    'locales',
    'manpages-dev',
    'postgresql-15',
    'postgresql-client-15',
    'postgresql-doc-15',
    'libllvm14',
    'libicu72',
    'nginx',
    'apache2-bin',
    'php8.2-cli',
    'containerd',
    'docker.io',
    'mariadb-server-core',
    'mariadb-client-core',
    'libpython3.11-minimal',
    'libpython3.11-stdlib',
    'python3-django',
    'python3-numpy',
    'python3-scipy',
    'python3.11-doc',
    'prometheus',
    'samba-libs',
    'samba',
    'bind9',
    'postfix',
    'dovecot-core',
    'squid',
    'haproxy',
    'erlang-base',
    'rabbitmq-server',
    'libruby3.1',
    'gcc-12',
    'cpp-12',
    'git',
    'vim-runtime',
    'qemu-system-x86',
    'grub-common',
    'iso-codes',
    'emacs-common',
    'golang-1.19-src',
    'libboost1.74-dev',
    'valgrind',
  ],
  changes: { granuleBytes: 64 * KiB, granules: 983, runGranules: 16, shareInData: 0.7 },
};

export function imageSizeBytes(from: Recipe): number {
  return from.groups * from.group.reduce((sum, region) => sum + region.sizeBytes, 0);
}
