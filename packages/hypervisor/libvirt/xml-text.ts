/** Text inside the small documents that libvirt is given. */

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  "'": '&apos;',
  '"': '&quot;',
};

/** For text and for attributes in either kind of quotes. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>'"]/g, (character) => entities[character] ?? character);
}
