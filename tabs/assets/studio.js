// The page's scripts, in the order in which they are needed.

import { feed } from "./feed.js";
import { startForm } from "./form.js";
import { startTheme } from "./theme.js";
import { startTips } from "./tip.js";
import "./fields.js";
import "./header.js";
import "./stage.js";
import "./tray.js";
import "./gallery.js";
import "./analytics.js";

startTheme();
startTips();
startForm();
feed.start();
