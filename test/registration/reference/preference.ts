/** What the choice among equal entries depends on. */
interface Aged {
  readonly uid: string;
  readonly created: number;
  readonly deleted: number | undefined;
}

/** Older first, then what stays, then what leaves later, then the smaller UID. */
export function preferred(a: Aged, b: Aged): boolean {
  if (a.uid === b.uid) return false;
  if (a.created !== b.created) return a.created < b.created;
  if (a.deleted !== b.deleted) {
    if (a.deleted === undefined) return true;
    return b.deleted !== undefined && a.deleted > b.deleted;
  }
  return a.uid < b.uid;
}
