// The one picture or map that is looked at enlarged, if any.

export interface Enlarged {
  title: string;
  /** A picture's address; or a map. */
  src?: string;
  map?: {
    png: string;
    rows: number;
    columns: number;
    low: number;
    high: number;
    diverging: boolean;
    unit: string;
  };
  ends?: { low: number; high: number; diverging?: boolean } | undefined;
  under?: string | undefined;
  through?: number;
}

class Large {
  shown = $state.raw<Enlarged | null>(null);
}

export const large = new Large();
