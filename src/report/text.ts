/**
 * Text that an implementation under test may have written. It is hostile: it may hold terminal escapes, markup, commands of
 * a CI system or characters that no XML file may have. Whatever a report prints goes through here.
 */

/**
 * Control characters but line feed and tab, marks that turn the direction of writing, and halves of pairs. A person should see
 * them, and no terminal, browser or XML parser should obey them.
 */
const UNSEEN = /(?![\n\t])[\p{Cc}\p{Cs}\p{Bidi_Control}\u2028\u2029\ufeff\ufffe\uffff]/gu;

/** The text with everything unseen as `\u{1b}`; lines stay lines. */
export function visible(text: string): string {
  return text.replaceAll(UNSEEN, unseen => `\\u{${unseen.charCodeAt(0).toString(16)}}`);
}

/** The first line of a text, visible, and at most so many characters long. */
export function firstLine(text: string, limit = 400): string {
  const [line = ''] = text.split('\n', 1);
  return shortened(visible(line), limit);
}

/** At most `limit` characters, the last of them a mark when something was left out. */
export function shortened(text: string, limit: number): string {
  if (text.length <= limit) return text;
  const end = /[\ud800-\udbff]$/.test(text.slice(0, limit - 1)) ? limit - 2 : limit - 1;
  return `${text.slice(0, end)}…`;
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Visible text for the content and for a quoted attribute of HTML and XML. */
export function escaped(text: string): string {
  return visible(text).replaceAll(/[&<>"']/g, mark => entities[mark] ?? mark);
}
