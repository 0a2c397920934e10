// What player.js needs of three.js, and how the bundle beside it is made (three 0.170.0, MIT, esbuild 0.28.2):
//
//     npm install three@0.170.0 esbuild@0.28.2
//     npx esbuild three.entry.js --bundle --minify --format=iife --global-name=THREE --target=es2020 --outfile=three.min.js
//
// It is one fixed file, so that the page loads nothing from other machines. Only the names below go into it.
export {
    BufferAttribute, BufferGeometry, Color, DirectionalLight, EqualStencilFunc, Fog, Group, HemisphereLight,
    IncrementStencilOp, Line, LineBasicMaterial, LineSegments, Mesh, MeshBasicMaterial, MeshLambertMaterial,
    PerspectiveCamera, Scene, Vector3, WebGLRenderer,
} from "three";
export { OrbitControls } from "three/addons/controls/OrbitControls.js";
