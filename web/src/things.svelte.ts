// What there is to look at: networks, pictures, scans; and those that the address names, loaded.

import { api, words, type Image, type Layer, type Network, type NetworkDetails, type Scan } from "./api";
import { view } from "./state.svelte";

class Things {
  networks = $state.raw<Network[]>([]);
  details = $state.raw<NetworkDetails | null>(null);
  layers = $state.raw<Layer[]>([]);
  images = $state.raw<Image[]>([]);
  /** How many pictures there are in all; `images` are the first of them. */
  total = $state(0);
  scans = $state.raw<Scan[]>([]);
  error = $state("");
  #loading: string | null = null;

  /** What a page opens on: networks, pictures, scans. */
  async begin(): Promise<void> {
    try {
      const [networks, images, scans] = await Promise.all([api.networks(), api.images({ count: 200 }), api.scans()]);
      this.networks = networks;
      this.images = images.images;
      this.total = images.total;
      this.scans = scans;
      const network = networks.find((each) => each.id === view.fields.network)?.id ?? networks[0]?.id ?? null;
      const image =
        view.fields.image ?? images.images.find((each) => /chelsea/.test(each.name))?.id ?? images.images[0]?.id;
      view.go({ network, image: image ?? null }, { replace: true });
    } catch (error) {
      this.error = words(error);
    }
  }

  /** Load the network that the address names. */
  async load(id: string): Promise<void> {
    if (this.#loading === id) return;
    this.#loading = id;
    try {
      const [details, layers] = await Promise.all([api.network(id), api.layers(id)]);
      if (this.#loading !== id) return;
      this.details = details;
      this.layers = layers;
      this.error = "";
      if (!layers.some((each) => each.name === view.fields.layer)) {
        view.go({ layer: details.opening ?? layers[0]?.name ?? null, channel: null, place: null }, { replace: true });
      }
    } catch (error) {
      if (this.#loading !== id) return;
      this.#loading = null;
      this.details = null;
      this.layers = [];
      this.error = words(error);
    }
  }

  get image(): Image | null {
    return this.images.find((each) => each.id === view.fields.image) ?? null;
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

  /** Take a file or a camera's picture. Raises Refused. */
  async upload(file: Blob, name: string): Promise<Image> {
    const image = await api.upload(file, name);
    this.images = [image, ...this.images.filter((each) => each.id !== image.id)];
    this.total += 1;
    view.go({ image: image.id });
    return image;
  }

  async more(): Promise<void> {
    const next = await api.images({ start: this.images.length, count: 200 });
    const known = new Set(this.images.map((each) => each.id));
    this.images = [...this.images, ...next.images.filter((each) => !known.has(each.id))];
    this.total = next.total;
  }

  async rescan(): Promise<void> {
    this.scans = await api.scans();
  }

  /** The next picture, or with −1 the one before. */
  step(by: number): void {
    const at = this.images.findIndex((each) => each.id === view.fields.image);
    const next = this.images[(at + by + this.images.length) % this.images.length];
    if (next) view.go({ image: next.id });
  }
}

export const things = new Things();
