/** What can be wrong: `kind` is a fault of the specification, or one of "limit", "weights", "network" and "option". */
export class RncError extends Error {
  constructor(kind, message, details = {}) {
    super(message);
    this.name = "RncError";
    this.kind = kind;
    Object.assign(this, details);
  }
}

export const corrupt = (message) => new RncError("corrupt", message);
export const unsupported = (message) => new RncError("unsupported", message);
