/** `node bench/image/main.ts [CACHE_DIR]`: builds the bench image when the cache has none, and says where it is. */
import { join } from 'node:path';
import { formatBytes } from '@holdfast/base';
import { ensureImage } from './build.ts';
import { recipe } from './recipe.ts';

const cacheDir = process.argv[2] ?? join(import.meta.dirname, '../../.cache/bench');
const stop = new AbortController();
process.once('SIGINT', () => stop.abort(new Error('interrupted')));
const image = await ensureImage({ recipe, cacheDir, note: (line) => console.error(line), signal: stop.signal });
console.log(`${image.raw}: ${formatBytes(image.sizeBytes)}, data ${formatBytes(image.dataBytes)}`);
