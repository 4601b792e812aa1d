/** Which events a stream is about: `user.created`, `user.*`, or all. */

/** @param topics with commas between; undefined is all */
export function topicFilter(topics: string | undefined): (topic: string) => boolean {
  if (topics === undefined) return () => true;
  const wanted = topics.split(',');
  const exact = new Set(wanted);
  const kinds = wanted.filter((topic) => topic.endsWith('.*')).map((topic) => topic.slice(0, -1));
  return (topic) => exact.has(topic) || kinds.some((kind) => topic.startsWith(kind));
}
