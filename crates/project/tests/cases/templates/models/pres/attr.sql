select {{ this.shema }} {{ target.nme }}
