/** Offers the names that somebody may have meant. */

/** The up to `count` known names nearest to `wanted`, nearest first; none that is nothing like it. */
export function nearest(wanted: string, known: readonly string[], count = 3): readonly string[] {
  const limit = Math.max(2, Math.floor(wanted.length / 3));
  return known
    .map(name => ({ name, distance: distanceBetween(wanted.toLowerCase(), name.toLowerCase()) }))
    .filter(({ distance }) => distance <= limit)
    .toSorted((a, b) => a.distance - b.distance || a.name.localeCompare(b.name))
    .slice(0, count)
    .map(({ name }) => name);
}

/** `unknown suite 'setled': did you mean 'settled'? Known: settled, racing.` */
export function unknownName(kind: string, wanted: string, known: readonly string[]): string {
  const near = nearest(wanted, known);
  const hint = near.length > 0 ? `: did you mean ${near.map(name => `'${name}'`).join(' or ')}?` : '.';
  const list = known.length <= 24 ? ` Known: ${known.join(', ')}.` : ` ${known.length} are known.`;
  return `unknown ${kind} '${wanted}'${hint}${list}`;
}

/** Insertions, deletions and replacements from one word to the other; a part that starts the other counts as near. */
function distanceBetween(a: string, b: string): number {
  if (a.length > 1 && (b.startsWith(a) || a.startsWith(b))) return 1;
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replace = previous[column - 1] + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(replace, previous[column] + 1, current[column - 1] + 1));
    }
    previous = current;
  }
  return previous[b.length];
}
