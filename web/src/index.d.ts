export type RncErrorKind =
  | "signature" | "unsupported" | "corrupt" | "truncated" | "limit" | "weights" | "network" | "option";

export interface RncProgress {
  /** Iterations that the picture shows. */
  iterations: number;
  /** Iterations that are wanted. */
  of: number;
  /** Bytes of the file that have arrived. */
  bytes: number;
}

export interface RncImageEventMap extends HTMLElementEventMap {
  progress: CustomEvent<RncProgress> & ProgressEvent;
  /** The picture is shown, but its ICC profile cannot be applied. */
  warning: CustomEvent<{ kind: "profile"; message: string }>;
  load: CustomEvent<{ iterations: number }>;
  error: CustomEvent<{ kind: RncErrorKind; message: string }> & ErrorEvent;
}

export declare class RncImage extends HTMLElement {
  src: string;
  alt: string;
  get iterations(): number | undefined;
  set iterations(value: number);
  readonly shown: number;
  readonly complete: boolean;
  readonly naturalWidth: number;
  readonly naturalHeight: number;
  addEventListener<K extends keyof RncImageEventMap>(
    type: K, listener: (this: RncImage, event: RncImageEventMap[K]) => unknown, options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void;
}

/** Where wasm and weights are served from, before the first image; by default `dist/` beside the scripts. */
export declare function configure(options: { base?: string; workerUrl?: string | URL }): void;

declare global {
  interface HTMLElementTagNameMap {
    "rnc-image": RncImage;
  }
}
