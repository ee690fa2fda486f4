export { RncImage } from "./element.js";
export { configure } from "./pool.js";
