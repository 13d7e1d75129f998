/** How MODIFY_QP is carried out in other words. */
import type { QpAttributes } from '../../../verbs/index.js';

export const states = (breaks: string) => ({ chapter: 'queue pair states and masks', breaks }) as const;

export type Name = keyof QpAttributes;
