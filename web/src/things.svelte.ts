// What there is to look at: networks, pictures, scans; and those that the address names, loaded.

import { api, words, type Image, type Layer, type Network, type NetworkDetails, type Scan } from "./api";
import { view, type Fields } from "./state.svelte";

interface Loaded {
  details: NetworkDetails;
  layers: readonly Layer[];
}

const NONE: readonly Layer[] = [];
// What is opened where nobody has brought pictures: one sees at once what it is.
const SAMPLE = "sample-coffee";

/** The layer to open on: the network's own, or the one nearest to it that a scan knows, so that there are patches. */
function opening(details: NetworkDetails, layers: readonly Layer[], scans: readonly Scan[]): string | null {
  const known = scans.filter((each) => each.network === details.name || each.network === details.id);
  const usual = layers.findIndex((each) => each.name === details.opening);
  let best = usual;
  for (const [at, layer] of layers.entries()) {
    if (layer.shape.length !== 3 || !known.some((each) => each.images > 0 && each.names.includes(layer.name))) continue;
    if (best === usual || Math.abs(at - usual) < Math.abs(best - usual)) best = at;
    if (at === usual) break;
  }
  return layers[best]?.name ?? layers[0]?.name ?? null;
}

/** Whether classes of one network are those of another. */
function sameClasses(one: NetworkDetails, other: NetworkDetails): boolean {
  return one.classes === other.classes && one.classes !== null && String(one.labels) === String(other.labels);
}

class Things {
  networks = $state.raw<Network[]>([]);
  images = $state.raw<Image[]>([]);
  /** How many pictures there are in all; `images` are the first of them. */
  total = $state(0);
  scans = $state.raw<Scan[]>([]);
  error = $state("");
  /** The network that is on its way. */
  loading = $state("");
  /** What is going on with a file that was taken, and what was wrong with it. */
  uploading = $state("");
  refused = $state("");
  /** Networks as they were told, by id: what the address names is there at once when somebody comes back. */
  #known = $state.raw<Record<string, Loaded>>({});
  /** Pictures that an address named, though they are not among the first. */
  #named = $state.raw<Image[]>([]);
  #asked = new Set<string>();
  /** Networks with which pictures were scanned unasked. */
  readonly scanned = new Set<string>();
  #last = "";

  /** What a page opens on: networks, pictures, scans. */
  async begin(): Promise<void> {
    try {
      // A folder that can't be read is no reason not to look at a picture of one's own.
      const listed = api.images({ count: 200 }).catch((error) => {
        this.refused = words(error);
        return { images: [], total: 0 };
      });
      const [networks, images, scans] = await Promise.all([api.networks(), listed, api.scans()]);
      this.networks = networks;
      this.images = images.images;
      this.total = images.total;
      this.scans = scans;
      const network = networks.find((each) => each.id === view.fields.network)?.id ?? networks[0]?.id ?? null;
      const first =
        images.images.find((each) => each.kind === "file") ??
        images.images.find((each) => each.id === SAMPLE) ??
        images.images[0];
      const image = view.fields.image ?? first?.id ?? null;
      view.go({ network, image }, { replace: true });
    } catch (error) {
      this.error = words(error);
    }
  }

  /** The network that the address names, once it is loaded. */
  get details(): NetworkDetails | null {
    return this.#known[view.fields.network ?? ""]?.details ?? null;
  }

  get layers(): readonly Layer[] {
    return this.#known[view.fields.network ?? ""]?.layers ?? NONE;
  }

  /** Load the network that the address names, and choose a layer if the address names none of its. */
  async load(id: string): Promise<void> {
    try {
      const { details, layers } = await this.#load(id);
      if (view.fields.network !== id) return;
      this.error = "";
      if (!layers.some((each) => each.name === view.fields.layer)) {
        view.go({ layer: opening(details, layers, this.scans), channel: null, place: null }, { replace: true });
      }
    } catch (error) {
      if (view.fields.network === id) this.error = words(error);
    }
  }

  /** Go to another network, with what of the address it can share. */
  async switch(id: string): Promise<void> {
    const before = this.details;
    this.refused = "";
    try {
      const { details, layers } = await this.#load(id);
      if (this.#last !== id) return;
      const names = new Set(layers.map((each) => each.name));
      const { layer, cam, pin, target } = view.fields;
      const changes: Partial<Fields> = { network: id, channel: null, place: null };
      if (layer === null || !names.has(layer)) changes.layer = opening(details, layers, this.scans);
      if (cam !== null && !names.has(cam)) changes.cam = null;
      if (pin !== null) changes.pin = null;
      if (!before || !sameClasses(before, details) || /(?<!\bclass):/.test(target ?? "")) changes.target = null;
      // It is told in pixels of the input.
      if (String(before?.input_size) !== String(details.input_size)) changes.hand = null;
      view.go(changes);
    } catch (error) {
      if (this.#last === id) this.refused = words(error);
    }
  }

  async #load(id: string): Promise<Loaded> {
    this.#last = id;
    const known = this.#known[id];
    if (known) {
      this.loading = "";
      return known;
    }
    this.loading = this.networks.find((each) => each.id === id)?.name ?? id;
    try {
      const [details, layers] = await Promise.all([api.network(id), api.layers(id)]);
      this.#known = { ...this.#known, [id]: { details, layers } };
      return { details, layers };
    } finally {
      if (this.#last === id) this.loading = "";
    }
  }

  /** A picture that the address names, though it is not among the first. */
  async know(id: string): Promise<void> {
    if (this.#asked.has(id) || this.images.some((each) => each.id === id)) return;
    this.#asked.add(id);
    const found = await api.image(id).catch(() => null);
    if (found) this.#named = [...this.#named, found];
  }

  get image(): Image | null {
    return [...this.images, ...this.#named].find((each) => each.id === view.fields.image) ?? null;
  }

  get layer(): Layer | null {
    return this.layers.find((each) => each.name === view.fields.layer) ?? null;
  }

  /** The scan of this network that knows a layer, of the most pictures; else one that doesn't; null without any. */
  scanOf(layer: string): Scan | null {
    const names = [this.details?.id, this.details?.name];
    const own = this.scans.filter((each) => names.includes(each.network) && each.images > 0);
    const knowing = own.filter((each) => each.names.includes(layer));
    const most = (all: Scan[]) =>
      all.reduce<Scan | null>((best, each) => (best && best.images >= each.images ? best : each), null);
    return most(knowing) ?? most(own);
  }

  /** Take files that were opened or dropped; what is wrong with one is said. */
  async take(files: FileList | File[] | null | undefined): Promise<boolean> {
    const all = [...(files ?? [])];
    this.refused = "";
    try {
      for (const [at, file] of all.entries()) {
        this.uploading = all.length > 1 ? `${file.name}, ${at + 1} of ${all.length}` : file.name;
        await this.upload(file, file.name);
      }
      return all.length > 0;
    } catch (error) {
      this.refused = words(error);
      return false;
    } finally {
      this.uploading = "";
    }
  }

  /** Take a file or a camera's picture. Raises Refused. */
  async upload(file: Blob, name: string): Promise<Image> {
    const image = await api.upload(file, name);
    if (!this.images.some((each) => each.id === image.id)) this.total += 1;
    this.images = [image, ...this.images.filter((each) => each.id !== image.id)];
    view.go({ image: image.id });
    return image;
  }

  async more(count = 200): Promise<void> {
    const next = await api.images({ start: this.images.length, count });
    const known = new Set(this.images.map((each) => each.id));
    this.images = [...this.images, ...next.images.filter((each) => !known.has(each.id))];
    this.total = next.total;
  }

  /** All that there are, as for a search. */
  async every(): Promise<void> {
    for (let before = -1; this.images.length < this.total && before < this.images.length;) {
      before = this.images.length;
      await this.more(1000);
    }
  }

  async rescan(): Promise<void> {
    this.scans = await api.scans();
  }

  /** The next picture, or with −1 the one before. */
  async step(by: number): Promise<void> {
    const at = this.images.findIndex((each) => each.id === view.fields.image);
    if (at + by >= this.images.length && this.images.length < this.total) {
      await this.more().catch((error) => (this.refused = words(error)));
    }
    const next = this.images[(at + by + this.images.length) % this.images.length];
    if (next) view.go({ image: next.id });
  }
}

export const things = new Things();
