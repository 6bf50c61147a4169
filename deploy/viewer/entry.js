// What gateway/pages/static/volume.js uses of NiiVue; the rest is shaken off.
export { Niivue, SHOW_RENDER, SLICE_TYPE } from "@niivue/niivue";
